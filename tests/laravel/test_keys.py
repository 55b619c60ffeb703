"""Names of keys; that they are the ones Laravel uses is held against the real one in test_depth.py."""

import pytest

from queuepool.domain.queues import QueueName
from queuepool.laravel.keys import QueueKeys, has_hash_tag, pause_keys, queue_keys, restart_key, version_of


def test_a_queue_has_four_keys_with_the_prefix_before_each() -> None:
    assert queue_keys("high", prefix="app_", laravel="8.83.26", cluster=False) == QueueKeys(
        ready="app_queues:high",
        delayed="app_queues:high:delayed",
        reserved="app_queues:high:reserved",
        notify="app_queues:high:notify",
    )


@pytest.mark.parametrize(
    ("queue", "laravel", "cluster", "ready"),
    [
        ("default", "13.4.0", True, "queues:default"),
        ("default", "13.5.0", True, "queues:{default}"),
        ("default", "13.26.1", True, "queues:{default}"),
        ("default", "14.0", True, "queues:{default}"),
        ("default", "13.x-dev", True, "queues:{default}"),
        ("default", "12.58.0", True, "queues:default"),
        ("default", "13.26.1", False, "queues:default"),
        ("default", "", True, "queues:{default}"),  # not known, and there is no other way that works
        ("default", "", False, "queues:default"),
        ("{default}", "8.83.26", True, "queues:{default}"),
        ("{default}", "13.26.1", True, "queues:{default}"),
        ("a{b}c", "13.26.1", True, "queues:a{b}c"),
        ("{}", "13.26.1", True, "queues:{{}}"),
        ("{default}", "8.83.26", False, "queues:{default}"),
    ],
)
def test_hash_tags_are_put_in_where_that_laravel_does(queue: str, laravel: str, cluster: bool, ready: str) -> None:
    assert queue_keys(queue, prefix="", laravel=laravel, cluster=cluster).ready == ready


@pytest.mark.parametrize(
    ("key", "tagged"),
    [("a", False), ("{a}", True), ("{}", False), ("{}{a}", False), ("a{b", False), ("}a{", False), ("x{a}y", True)],
)
def test_a_hash_tag_is_what_redis_cluster_takes_for_one(key: str, tagged: bool) -> None:
    assert has_hash_tag(key) is tagged


def test_the_keys_of_the_cache_lose_their_colon_with_laravel_11() -> None:
    def key(laravel: str, cache_prefix: str = "shop_cache") -> str:
        return restart_key(prefix="shop_database_", cache_prefix=cache_prefix, laravel=laravel)

    assert key("10.48.0") == "shop_database_shop_cache:illuminate:queue:restart"
    assert key("11.0.0") == "shop_database_shop_cacheilluminate:queue:restart"
    assert key("10.48.0", "") == "shop_database_illuminate:queue:restart"


def test_pauses_are_looked_for_where_that_laravel_can_pause() -> None:
    def keys(laravel: str) -> tuple[str, ...]:
        return pause_keys(QueueName("redis", "high"), prefix="p_", cache_prefix="c-", laravel=laravel)

    assert keys("12.39.0") == ()
    assert keys("12.40.0") == ("p_c-illuminate:queue:paused:redis:high",)
    assert keys("13.25.0") == ("p_c-illuminate:queue:paused:redis:high", "p_c-illuminate:queues:paused")
    assert keys("") == keys("13.25.0")


@pytest.mark.parametrize(
    ("text", "version"),
    [("v8.83.26", (8, 83)), ("Laravel Framework 12.1.0", (12, 1)), ("dev-master", (99, 0)), ("13.x-dev", (13, 9999))],
)
def test_versions_are_read_as_composer_and_artisan_write_them(text: str, version: tuple[int, int]) -> None:
    assert version_of(text, unknown=(99, 0)) == version
