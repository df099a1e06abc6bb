/* ---- Names of the classes ---- */

/* By label, in UTF-8; the background has none. */
static const char *const class_names[] = {
    NULL,
@NAMES@
};

const char *ultraface_class_name(int label)
{
    const int count = (int)(sizeof class_names / sizeof class_names[0]);
    return label < 0 || label >= count ? NULL : class_names[label];
}
