
/* Here, because the network says what its classes are called. */
#define ULTRAFACE_CLASS_NAMES

/* What the class of a label is called, in UTF-8; NULL for one that the network does not have. */
const char *ultraface_class_name(int label);
