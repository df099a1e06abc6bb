// Faces as JSON.
#pragma once

#include <string>
#include <vector>

#include "ultraface.hpp"

// One line: {"source", "width", "height", "faces": [{"box": [x1, y1, x2, y2], "score", "label"}]}.
std::string to_json(const std::string& source, int width, int height,
                    const std::vector<ultraface::Face>& faces);
