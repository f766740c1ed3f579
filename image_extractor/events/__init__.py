"""What tells events, showers and telescopes apart; nothing here knows files."""
