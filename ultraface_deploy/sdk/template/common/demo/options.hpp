// The demo's command line.
#pragma once

#include <string>

#include "ultraface.hpp"

struct Arguments {
    std::string image;
    std::string camera;  // device, for example /dev/video0; empty for an image
    std::string model_dir;
    std::string json = "-";  // where the faces go; - for standard output
    std::string marked;      // where the picture with boxes goes; empty for nowhere
    int frames = 0;          // of the camera; 0 for endless
    bool help = false;
    ultraface::Options options;
};

extern const char kUsage[];

// Throws std::invalid_argument.
Arguments parse_arguments(int argc, char** argv);
