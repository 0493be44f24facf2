"""What a node runs on; `esp32` and `sim` keep the same contract."""
