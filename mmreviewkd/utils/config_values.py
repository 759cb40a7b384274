"""Find values in a config by their key."""


def found_values(node: object, key: str) -> list:
    """Return all values of a key, at any depth of a config."""
    if isinstance(node, dict):
        return [value for name, value in node.items() if name == key] + [
            found for value in node.values() for found in found_values(value, key)]
    return [found for item in node for found in found_values(item, key)] if isinstance(node, (list, tuple)) else []
