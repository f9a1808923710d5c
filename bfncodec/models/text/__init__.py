"""The text model: what is known of the bytes before, the network, and what is learnt inside a file."""
