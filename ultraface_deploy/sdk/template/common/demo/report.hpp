// Faces as JSON.
#pragma once

#include <string>
#include <vector>

#include "ultraface.hpp"

// One line: {"source", "width", "height", "faces": [{"box": [x1, y1, x2, y2], "score", "label"}]};
// a face also has a "name" where the network says what its classes are called.
std::string to_json(const std::string& source, int width, int height,
                    const std::vector<ultraface::Face>& faces);
