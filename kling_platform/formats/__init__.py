"""How the platform writes dates where Django's own way differs from what its pages say elsewhere."""
