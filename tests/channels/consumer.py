"""The consumer of docs/channels.md, in a genuine back end: what its browsers are sent.

    python consumer.py LAYER URL READY_FILE COUNT

Opens two WebSockets, writes READY_FILE, and prints each text they are sent as a line of JSON,
behind the number of the WebSocket; ends when each was sent COUNT alarms.
"""
import asyncio
import json
import sys

from django.conf import settings

layer, url, ready_file, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
BACKENDS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
settings.configure(
    CHANNEL_LAYERS={"default": {"BACKEND": BACKENDS[layer], "CONFIG": {"hosts": [url]}}},
    INSTALLED_APPS=["channels"],
)

from asgiref.testing import ApplicationCommunicator  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402


# The consumer stands in docs/channels.md word for word: a test compares them.
class AlertConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("alerts", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard("alerts", self.channel_name)

    async def bongsu_event(self, message):
        await self.send_json(message["event"])


async def main():
    scope = {"type": "websocket", "path": "/alerts/", "headers": [], "subprotocols": []}
    sockets = [ApplicationCommunicator(AlertConsumer.as_asgi(), dict(scope)) for _ in range(2)]
    for socket in sockets:
        await socket.send_input({"type": "websocket.connect"})
        answer = await socket.receive_output(timeout=10)
        assert answer["type"] == "websocket.accept", answer
    # The pubsub layer subscribes behind the scenes: it is there when it hears itself.
    from channels.layers import get_channel_layer

    probe = {"type": "bongsu.event", "event": {"probe": True}}
    for socket in sockets:
        while await socket.receive_nothing(timeout=0.2):
            await get_channel_layer().group_send("alerts", probe)
    for socket in sockets:
        while not await socket.receive_nothing(timeout=0.5):
            await socket.receive_output(timeout=1)
    with open(ready_file, "w", encoding="utf-8") as file:
        file.write("ready\n")
    for number, socket in enumerate(sockets, 1):
        alarms = 0
        while alarms < count:
            sent = await socket.receive_output(timeout=120)
            assert sent["type"] == "websocket.send", sent
            event = json.loads(sent["text"])
            alarms += event["type"] in ("io.bongsu.crash.v1", "io.bongsu.threat.v1")
            print(number, json.dumps(event, ensure_ascii=False), flush=True)
    for socket in sockets:
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait(timeout=10)


asyncio.run(main())
