"""A virtual ESP32."""
