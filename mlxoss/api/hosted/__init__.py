"""Tools that this server runs itself, as requests of any API declare and call them."""
