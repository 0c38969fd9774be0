"""Where the source checkout is that this command was installed from."""

from pathlib import Path


def checkout() -> Path:
    """The root of the checkout, or the working directory when the package was installed without one."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "requirements.lock").exists() else Path.cwd()


def default_home() -> Path:
    return checkout() / ".scrip"
