"""ctapipe's DL1 parameters of images, in compiled loops: cleaning, moments, and what follows from them."""
