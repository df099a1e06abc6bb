// The model's bytes, from a folder or from the library itself.
#pragma once

#include <string>
#include <vector>

#include "network.hpp"

namespace ultraface {

// Return the embedded files; null pointers where the library was made without.
ModelFiles embedded_files();

// The files of a model, checked byte by byte against what the library was made for.
class LoadedModel {
public:
    // An empty `folder` stands for the embedded model. Throws Error.
    explicit LoadedModel(const std::string& folder);

    const ModelFiles& files() const { return files_; }

private:
    std::vector<std::vector<unsigned char>> storage_;
    ModelFiles files_;
};

}  // namespace ultraface
