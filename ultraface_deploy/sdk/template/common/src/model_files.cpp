#include "model_files.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ultraface {
namespace {

std::vector<unsigned char> read_file(const std::string& path, std::size_t expected) {
    struct Closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    errno = 0;
    const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
    if (!file) {
        throw Error(ULTRAFACE_MODEL_MISSING, path + ": cannot open the model file (" +
                                                 std::strerror(errno) +
                                                 "); give the folder that holds it");
    }
    // One byte more than expected tells a longer file from the right one.
    std::vector<unsigned char> content(expected + 1);
    content.resize(std::fread(content.data(), 1, content.size(), file.get()));
    return content;
}

// CRC-32 (ISO-HDLC, as in zlib), four bits at a time.
std::uint32_t crc32(const std::vector<unsigned char>& content) {
    std::uint32_t table[16];
    for (std::uint32_t i = 0; i < 16; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 4; ++bit) {
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320U : 0U);
        }
    }
    std::uint32_t crc = 0xFFFFFFFFU;
    for (const unsigned char byte : content) {
        crc ^= byte;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

}  // namespace

LoadedModel::LoadedModel(const std::string& folder) : files_(embedded_files()) {
    if (folder.empty()) {
        for (std::size_t i = 0; i < model::kNumFiles; ++i) {
            if (!files_[i].data) {
                throw Error(ULTRAFACE_INVALID_ARGUMENT,
                            "no model is embedded in this library; give the folder that holds " +
                                std::string(model::kFiles[i].name));
            }
        }
        return;
    }
    if (model::kNumFiles == 0) {
        throw Error(ULTRAFACE_INVALID_ARGUMENT,
                    folder + ": the weights are a part of this library; give no folder");
    }
    for (std::size_t i = 0; i < model::kNumFiles; ++i) {
        const model::File& expected = model::kFiles[i];
        const std::string path = folder + "/" + expected.name;
        storage_.push_back(read_file(path, expected.bytes));
        const std::vector<unsigned char>& content = storage_.back();
        if (content.size() != expected.bytes || crc32(content) != expected.crc32) {
            throw Error(ULTRAFACE_MODEL_DAMAGED,
                        path + ": is damaged or another model than the library was made for; "
                               "copy the file again or generate the project anew");
        }
        files_[i] = {content.data(), content.size()};
    }
}

}  // namespace ultraface
