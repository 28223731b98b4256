"""What conf/ has to choose from."""

from importlib.resources import files

CONFIG_MODULE = "kfac_cli.conf"


def choices(group: str) -> list[str]:
    """The names that `group=` accepts, as shipped in conf/; empty if there is no such group."""
    folder = files(CONFIG_MODULE).joinpath(group)
    if not folder.is_dir():
        return []
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )
