"""Caches of ctapipe's image extractors that go when these do; ctapipe itself stays as it is.

Image extractors keep their corrections with lru_cache on methods: one cache for all extractors of a process, which
holds up to 128 of them, 4,096 of another kind, each with the telescopes of its run: 1 MB and more for each file.
Upstream: caches would belong to the extractors.
"""

import functools
import weakref


def own_caches(extractor):
    """Give a ctapipe image extractor caches of its own in the place of those that all extractors share.

    Results are the same. What has no such cache, as in other versions, stays as it is.
    """
    kind = type(extractor)
    for name in dir(kind):
        method = getattr(kind, name)
        if hasattr(method, "cache_parameters") and hasattr(method, "__wrapped__"):
            # a proxy: the cache must not keep the extractor until the next full garbage collection
            function = functools.partial(method.__wrapped__, weakref.proxy(extractor))
            setattr(extractor, name, functools.lru_cache(**method.cache_parameters())(function))
