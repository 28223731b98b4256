"""What kind of device one is, whichever of several equal ones."""


def device_kind(device: object) -> str:
    """The device without its number: "cuda" of "cuda:1"."""
    return str(device).partition(":")[0]
