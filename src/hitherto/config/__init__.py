"""hitherto.toml and HITHERTO_* environment -> one typed Config, read once."""

from hitherto.config.settings import Config, OfflineSettings, OnlineSettings, RegistrySettings, ServerSettings

__all__ = ["Config", "OfflineSettings", "OnlineSettings", "RegistrySettings", "ServerSettings"]
