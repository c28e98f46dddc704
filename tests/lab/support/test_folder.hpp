// A folder that disappears with the test, and what the tests of files look at.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace gradstab::lab {

/// An empty folder that disappears with this.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradstab-support-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make the folder " + pattern);
    path_ = pattern;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// A file in it.
  std::filesystem::path make(const std::string& name, const std::string& bytes = {}) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

class FolderTest : public ::testing::Test {
 protected:
  // Whoever waits for the other end of a pipe waits for ever: better a test that fails.
  FolderTest() { ::alarm(60); }
  ~FolderTest() override { ::alarm(0); }

  std::filesystem::path make(const std::string& name, const std::string& bytes = {}) const {
    return own_.make(name, bytes);
  }
  std::filesystem::path make_pipe(const std::string& name) const {
    EXPECT_EQ(::mkfifo((folder_ / name).c_str(), 0600), 0);
    return folder_ / name;
  }
  static std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// As messages name it.
  static std::string quoted(const std::filesystem::path& path) {
    return std::string("'").append(path.string()).append("'");
  }
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      list.push_back(entry.path().filename().string());
    std::ranges::sort(list);
    return list;
  }
  static bool wait_until(const std::function<bool()>& done) {
    for (int i = 0; i < 3000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  const TestFolder own_;
  const std::filesystem::path& folder_ = own_.path();
};

}  // namespace gradstab::lab
