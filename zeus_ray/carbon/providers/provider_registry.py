"""The providers by name. A new one is a file with a :class:`Provider` and one line here."""

from __future__ import annotations

from importlib import import_module

from zeus_ray.carbon.cached_values_and_fallback import cache_file
from zeus_ray.carbon.fetched_signal import RemoteSignal
from zeus_ray.carbon.providers.provider import Provider
from zeus_ray.errors import BadInput

PROVIDERS = {
    "uk": "zeus_ray.carbon.providers.uk:Uk",
    "electricitymaps": "zeus_ray.carbon.providers.electricity_maps:ElectricityMaps",
    "watttime": "zeus_ray.carbon.providers.watttime:WattTime",
}
"""Name in a signal's text, such as ``watttime:CAISO_NORTH``, to "module:Class", imported when it is used."""


def provider_class(name: str) -> type[Provider]:
    """The class of a name in ``PROVIDERS``."""
    module, _, class_name = PROVIDERS[name].partition(":")
    found: type[Provider] = getattr(import_module(module), class_name)
    return found


def make_provider(name: str, zone: str = "") -> Provider:
    """The provider for a zone, whether or not this process has its credentials.

    Raises:
        BadInput: no such zone.
    """
    kind = provider_class(name)
    provider = kind(zone) if zone else kind()
    provider.check_zone()
    return provider


def open_provider(name: str, zone: str = "") -> RemoteSignal:
    """The signal of a provider and zone, cached on disk.

    Raises:
        BadInput: no such zone, or the environment lacks a credential.
    """
    provider = make_provider(name, zone)
    if provider.missing_credentials():
        raise BadInput(provider.missing_credentials())
    return RemoteSignal(provider, cache=cache_file(provider.name, provider.zone))
