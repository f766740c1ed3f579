"""What EventDisplay's mscw files hold, made of images: stereo reconstruction, lookup tables, scaled parameters."""
