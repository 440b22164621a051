"""What the server tells of itself: health, metrics, the last requests, a page."""
