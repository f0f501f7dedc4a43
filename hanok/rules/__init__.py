"""Rules of export control and of AI law as data, and where a chip or a system stands under them."""
