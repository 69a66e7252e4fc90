"""Engines as an application of Ray Serve: Ray places them on machines with GPUs, starts them anew, asks how they are.

Each replica is the whole service, in the replica's own process, listening on loopback alone; Ray's proxies pass the
calls of `interleaf.v1.Inference` on to it. Access, quotas, deadlines and figures are those of the service.

    serve deploy ops/ray-serve.yaml        docs/deployment.md, "Ray Serve"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext

from interleaf.v1 import inference_pb2 as pb
from interleaf.v1 import inference_pb2_grpc
from service.ray_serve import forwarding
from service.ray_serve.settings import replica_settings
from service.server import INFERENCE, Server


class Engine:
    """One replica."""

    async def __init__(self) -> None:  # type: ignore[misc] # Ray waits for it
        context = serve.get_replica_context()
        self._server = Server(replica_settings(context.replica_id.unique_id))
        self._channel = grpc.aio.insecure_channel(await self._server.start())
        self._inference = inference_pb2_grpc.InferenceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def check_health(self) -> None:
        """Raises unless answers can be given: Ray then starts another replica in its place."""
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=INFERENCE), timeout=10)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise RuntimeError(f"{INFERENCE} does not serve")

    async def Generate(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802 - as in the proto
        """As in the proto."""
        return await forwarding.unary(self._inference.Generate, request, grpc_context, pb.GenerateResponse())

    async def StreamGenerate(self, request: Any, grpc_context: RayServegRPCContext) -> AsyncIterator[Any]:  # noqa: N802
        """As in the proto."""
        async for message in forwarding.stream(self._inference.StreamGenerate, request, grpc_context):
            yield message

    async def Score(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802
        """As in the proto."""
        return await forwarding.unary(self._inference.Score, request, grpc_context, pb.ScoreResponse())

    async def Compare(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802
        """As in the proto."""
        return await forwarding.unary(self._inference.Compare, request, grpc_context, pb.CompareResponse())

    async def WeighFacts(self, request: Any, grpc_context: RayServegRPCContext) -> Any:  # noqa: N802
        """As in the proto."""
        return await forwarding.unary(
            self._inference.WeighFacts, request, grpc_context, pb.WeighFactsResponse()
        )

    async def __del__(self) -> None:
        await self._channel.close()
        await self._server.stop()


application = serve.deployment(Engine).bind()
