"""Images whose colours repeat exactly: screenshots, plots, sprites, palettes, and samples of up to 16 bits."""
