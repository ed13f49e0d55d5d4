"""Connections to Ray clusters."""

import os
import socket
from collections.abc import Mapping
from typing import Any

_CONNECT_SECONDS = 10.0


def connect_to_ray(address: str | None = None) -> Any:
    """
    Connect to a Ray cluster, or start one on this machine, unless this process is connected already.

    :param address: address of the cluster; by default that in ``RAY_ADDRESS``, or else a cluster on this machine is started
    :return: the module ``ray``
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ImportError('Ray is not installed; install it with: pip install "leo-rl[ray]"') from error
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address is not None:
            _check_reachable(address)
        if not ray.is_initialized():
            options = {"include_dashboard": False} if address is None else {}
            ray.init(address=address, log_to_driver=False, **options)
    except Exception as error:  # Ray raises errors of several kinds
        raise ConnectionError(
            f"expected a Ray cluster at {address or 'this machine'}, got: {error}; start one with `ray start --head`. If it "
            "runs, this machine needs its ~/.ray/auth_token, or RAY_AUTH_MODE=disabled on all machines of a trusted network"
        ) from error
    return ray


def check_resources(
    available: Mapping[str, float],
    number: int | None,
    needed: Mapping[str, float],
    what: str = "workers",
    remedy: str = "lower --workers (at most {fit} fit), --cpus or --gpus, which may be fractions, or add nodes",
) -> int:
    """
    Check that workers or actors fit into a cluster: those that do not would wait without a message.

    :param available: amount of each resource in the cluster
    :param number: number of workers; None for as many as fit
    :param needed: amount of each resource per worker
    :param what: what the workers are called in messages
    :param remedy: what to do if they do not fit, where ``{fit}`` stands for the number that does
    :return: number of workers

    Example::

        >>> check_resources({"CPU": 4.0}, None, {"CPU": 0.5, "GPU": 0.0})
        8
    """
    if any(amount < 0 for amount in needed.values()) or not any(needed.values()):
        raise ValueError(
            f"expected at least 0 CPUs and GPUs for {what}, and one of them above 0, got {dict(needed)}; change them"
        )
    fit = min(int(available.get(name, 0.0) / amount + 1e-9) for name, amount in needed.items() if amount)
    result = fit if number is None else number
    if fit < max(result, 1):
        lines = [
            f"{max(result, 1) * amount:g} {name} for {max(result, 1)} {what}, got {available.get(name, 0.0):g}"
            for name, amount in needed.items()
            if available.get(name, 0.0) + 1e-9 < max(result, 1) * amount
        ]
        raise ValueError(f"expected a cluster with {'; '.join(lines)}; {remedy.format(fit=fit)}")
    return result


def _check_reachable(address: str) -> None:
    """Raise an ``OSError`` if nothing listens at an address: Ray would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
