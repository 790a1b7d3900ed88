"""What people see of a finished search: tables, sentences and plots."""
