"""A client of Kong's Admin API that others have written, against the Admin API at the URL in argv[1].

Every step asserts what a user of the client relies on; the first that fails ends the run.
"""

import asyncio
import sys

from kong.client import Kong, KongResponseError

CERTIFICATE, KEY = (open(path).read() for path in sys.argv[2:4])

# A state as people keep it in a file; applied again, nothing may change but the ids of routes,
# which the client makes anew.
STATE = {
    "services": [
        {
            "name": "orders",
            "host": "orders.test",
            "port": 8080,
            "protocol": "http",
            "tags": ["shop"],
            "plugins": [{"name": "rate-limiting", "config": {"minute": 60, "policy": "local"}}],
            "routes": [
                {
                    "name": "orders",
                    "paths": ["/orders"],
                    "methods": ["GET", "POST"],
                    "plugins": [{"name": "key-auth", "config": {"hide_credentials": True}}],
                },
                {"name": "orders-host", "hosts": ["orders.example"]},
            ],
        },
        {"name": "gone", "ensure": "absent"},
    ],
    "consumers": [
        {
            "username": "ann",
            "groups": ["buyers", "testers"],
            "auths": [
                {"type": "key-auth", "config": {"key": "ann-key"}},
                {"type": "basic-auth", "config": {"username": "ann", "password": "secret"}},
            ],
        }
    ],
    "plugins": [{"name": "correlation-id", "config": {"header_name": "x-correlation"}}],
}

VOLATILE = {"id", "created_at", "updated_at"}


def steady(value):
    """A value without what may differ from run to run."""
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [steady(v) for v in value]
    return value


async def entities(collection):
    found = [steady(dict(entity)) for entity in await collection.get_full_list()]
    return sorted(found, key=str)


async def whole(cli):
    names = ["services", "routes", "plugins", "consumers", "acls", "certificates", "snis"]
    return {name: await entities(getattr(cli, name)) for name in names}


async def refused(status, answer):
    try:
        await answer
    except KongResponseError as error:
        assert error.status == status, (error.status, str(error))
        return error.message
    raise AssertionError(f"expected {status}")


async def crud(cli):
    service = await cli.services.create(name="s", url="https://up.test:8443/base")
    assert (service["protocol"], service["port"], service["path"]) == ("https", 8443, "/base")
    assert (await cli.services.get("s")).id == service.id
    service = await cli.services.update("s", retries=2)
    assert service["retries"] == 2 and service["host"] == "up.test"
    route = await service.routes.create(name="r", paths=["/r"])
    assert route["service"]["id"] == service.id
    plugin = await route.plugins.create(name="cors", config={"origins": ["*"]})
    assert plugin["route"]["id"] == route.id and plugin["enabled"]
    assert await cli.services.has("s") and not await cli.services.has("nope")

    error = await refused(409, cli.services.create(name="s", host="h"))
    assert error["name"] == "unique constraint violation", error
    error = await refused(400, cli.services.create(name="bad", host="h", port=70000))
    assert error["fields"] == {"port": "value should be between 0 and 65535"}, error
    await refused(404, cli.services.get("nope"))

    consumer = await cli.consumers.create(username="c", custom_id="42")
    key = await consumer.keyauths.create()
    assert len(key["key"]) >= 32
    token = await consumer.jwts.create()
    assert token["algorithm"] == "HS256" and token["secret"]
    assert [c.id for c in await cli.consumers.get_list(custom_id="42")] == [consumer.id]

    certificate = await cli.certificates.create(cert=CERTIFICATE, key=KEY)
    sni = await certificate.snis.create(name="a.test")
    assert sni["certificate"]["id"] == certificate.id
    assert [s.name for s in await certificate.snis.get_list()] == ["a.test"]


async def paging(cli):
    for number in range(250):
        await cli.consumers.create(username=f"page-{number}", tags=["page"])
    first = await cli.consumers.get_list(size=100, tags="page")
    assert len(first) == 100
    names = [c.username async for c in cli.consumers.paginate(tags="page")]
    assert len(set(names)) == len(names) == 250, len(names)


async def main(url):
    async with Kong(url=url) as cli:
        await crud(cli)
        await paging(cli)
        await cli.delete_all()
        assert not any((await whole(cli)).values()), await whole(cli)

        await cli.apply_json(STATE)
        before = await whole(cli)
        assert [len(before[k]) for k in ("services", "routes", "plugins", "acls")] == [1, 2, 3, 2]
        await cli.apply_json(STATE)
        after = await whole(cli)
        assert before == after, (before, after)
        await cli.delete_all()
        assert not any((await whole(cli)).values()), await whole(cli)


asyncio.run(main(sys.argv[1]))
