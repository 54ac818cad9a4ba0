"""Image making: training variants and rendered products. Arrays in, arrays out, seeded."""
