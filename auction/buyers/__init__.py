"""How we speak to buyers: the bid protocol, the fan-out client, the delivery of posts."""
