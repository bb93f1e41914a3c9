"""Development tools: drawing portraits, training the embedded model pack, checking it."""
