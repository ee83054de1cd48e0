"""The usual way: models, serializers, `get_or_create` and `save`, as a tutorial would have it. Correct for one sender."""
