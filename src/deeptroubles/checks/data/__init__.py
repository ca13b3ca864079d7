"""Problems in the images and labels themselves."""
