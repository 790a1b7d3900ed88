"""One small file per training framework: where its loop meets a run. Import the one you use."""
