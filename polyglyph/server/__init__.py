"""HTTP: endpoint plugin, middleware, routes, and the launcher."""
