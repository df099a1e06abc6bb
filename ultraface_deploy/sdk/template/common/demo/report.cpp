#include "report.hpp"

#include <cstdio>

namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        char escaped[8];
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
            out += escaped;
        } else {
            out += c;
        }
    }
    return out + '"';
}

}  // namespace

std::string to_json(const std::string& source, int width, int height,
                    const std::vector<ultraface::Face>& faces) {
    std::string out = "{\"source\": " + quoted(source) + ", \"width\": " + std::to_string(width) +
                      ", \"height\": " + std::to_string(height) + ", \"faces\": [";
    const char* separator = "";
    for (const ultraface::Face& face : faces) {
        char line[192];
        std::snprintf(line, sizeof(line),
                      "%s{\"box\": [%.6g, %.6g, %.6g, %.6g], \"score\": %.7g, \"label\": %d",
                      separator, static_cast<double>(face.x1), static_cast<double>(face.y1),
                      static_cast<double>(face.x2), static_cast<double>(face.y2),
                      static_cast<double>(face.score), face.label);
        out += line;
        const char* const name = ultraface::class_name(face.label);
        if (name) out += ", \"name\": " + quoted(name);
        out += '}';
        separator = ", ";
    }
    return out + "]}";
}
