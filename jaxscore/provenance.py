"""Where a number comes from: versions, device, and content as a hash."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "jaxscore",
    "jax",
    "jaxlib",
    "flax",
    "numpy",
    "scipy",
    "scikit-learn",
    "transformers",
    "tokenizers",
    "xarray",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a score depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def device() -> dict[str, Any]:
    """The devices of the products, as JAX names them."""
    import jax

    devices = jax.local_devices()
    return {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}


def content_key(content: Any) -> str:
    """sha256 of a JSON-like value, whatever the order of its keys; 16 hexadecimal digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
