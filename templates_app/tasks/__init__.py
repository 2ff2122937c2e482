"""What runs in a bounded process: reading, comparing and rendering what authors of templates wrote. No Django."""
