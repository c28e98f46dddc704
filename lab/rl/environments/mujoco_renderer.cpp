// The inside of the module: MuJoCo's own pictures, drawn by whatever EGL finds, without a screen. On a
// machine without a graphics card that is software.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "lab/rl/environments/mujoco_support.hpp"

namespace gradstab::lab::rl {
namespace {

/// What is needed of EGL 1.5, found at run time: no header and no library to link.
class Egl {
 public:
  // Values from the Khronos registry.
  static constexpr unsigned kOpenGlApi = 0x30A2;
  static constexpr unsigned kSurfacelessPlatform = 0x31DD;
  static constexpr std::int32_t kSurfaceType = 0x3033, kRenderableType = 0x3040, kOpenGlBit = 8,
                                kNone = 0x3038;

  using Display = void*;
  using Config = void*;
  using Context = void*;

  static std::unique_ptr<Egl> load() {
    auto egl = std::make_unique<Egl>();
    egl->library_ = ::dlopen("libEGL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (egl->library_ == nullptr) return nullptr;
    const bool found =
        egl->find(egl->get_platform_display, "eglGetPlatformDisplay") &&
        egl->find(egl->initialize, "eglInitialize") && egl->find(egl->bind_api, "eglBindAPI") &&
        egl->find(egl->choose_config, "eglChooseConfig") &&
        egl->find(egl->create_context, "eglCreateContext") &&
        egl->find(egl->make_current, "eglMakeCurrent") &&
        egl->find(egl->destroy_context, "eglDestroyContext") && egl->find(egl->terminate, "eglTerminate") &&
        egl->find(egl->get_error, "eglGetError") && egl->find(egl->release_thread, "eglReleaseThread");
    return found ? std::move(egl) : nullptr;
  }

  Display (*get_platform_display)(unsigned, void*, const std::intptr_t*) = nullptr;
  unsigned (*initialize)(Display, std::int32_t*, std::int32_t*) = nullptr;
  unsigned (*bind_api)(unsigned) = nullptr;
  unsigned (*choose_config)(Display, const std::int32_t*, Config*, std::int32_t, std::int32_t*) = nullptr;
  Context (*create_context)(Display, Config, Context, const std::int32_t*) = nullptr;
  unsigned (*make_current)(Display, void*, void*, Context) = nullptr;
  unsigned (*destroy_context)(Display, Context) = nullptr;
  unsigned (*terminate)(Display) = nullptr;
  std::int32_t (*get_error)() = nullptr;
  unsigned (*release_thread)() = nullptr;

 private:
  template <class Function>
  bool find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(::dlsym(library_, name));
    return function != nullptr;
  }

  void* library_ = nullptr;  // stays loaded: graphics drivers do not like to go
};

constexpr const char* kNoGraphics =
    "no software GL: EGL without a screen is not available (apt-get install libegl1 libegl-mesa0 "
    "libgl1-mesa-dri)";

/// A current OpenGL context.
class Context {
 public:
  static std::unique_ptr<Context> make(std::string& error) {
    auto context = std::make_unique<Context>();
    context->egl_ = Egl::load();
    if (context->egl_ == nullptr || !context->begin()) {
      error = kNoGraphics;
      return nullptr;
    }
    return context;
  }
  ~Context() {
    if (context_ != nullptr) {
      egl_->make_current(display_, nullptr, nullptr, nullptr);
      egl_->destroy_context(display_, context_);
    }
    if (initialized_) egl_->terminate(display_);
    if (egl_ != nullptr) egl_->release_thread();
  }
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  bool begin() {
    display_ = egl_->get_platform_display(Egl::kSurfacelessPlatform, nullptr, nullptr);
    if (display_ == nullptr || egl_->initialize(display_, nullptr, nullptr) == 0) return false;
    initialized_ = true;
    const std::array<std::int32_t, 5> wanted = {Egl::kSurfaceType, 0, Egl::kRenderableType, Egl::kOpenGlBit,
                                                Egl::kNone};
    Egl::Config config = nullptr;
    std::int32_t count = 0;
    if (egl_->choose_config(display_, wanted.data(), &config, 1, &count) == 0 || count < 1) return false;
    if (egl_->bind_api(Egl::kOpenGlApi) == 0) return false;
    context_ = egl_->create_context(display_, config, nullptr, nullptr);
    return context_ != nullptr && egl_->make_current(display_, nullptr, nullptr, context_) != 0;
  }

  std::unique_ptr<Egl> egl_;
  Egl::Display display_ = nullptr;
  Egl::Context context_ = nullptr;
  bool initialized_ = false;
};

constexpr int kMostGeoms = 200;

class MujocoRenderer : public Renderer {
 public:
  /// Throws MujocoError.
  MujocoRenderer(const mjModel& model, int width, int height, std::unique_ptr<Context> context)
      : context_(std::move(context)), model_(mj_copyModel(nullptr, &model)) {
    if (model_ == nullptr) throw MujocoError("it could not allocate a model");
    data_.reset(mj_makeData(model_.get()));
    if (data_ == nullptr) throw MujocoError("it could not allocate a simulation");
    // Physics knows no end of a plane; a picture does unless its size is 0.
    for (int geom = 0; geom < model_->ngeom; ++geom) {
      if (model_->geom_type[geom] == mjGEOM_PLANE) std::fill_n(model_->geom_size + 3 * geom, 2, 0.0);
    }
    model_->vis.global.offwidth = width;
    model_->vis.global.offheight = height;
    viewport_ = {0, 0, width, height};
    mjv_defaultOption(&option_);
    mjv_defaultScene(&scene_);
    mjr_defaultContext(&drawing_);
    mjv_makeScene(model_.get(), &scene_, kMostGeoms);
    mjr_makeContext(model_.get(), &drawing_, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &drawing_);
    if (drawing_.currentBuffer != mjFB_OFFSCREEN)
      throw MujocoError("it has no off-screen buffer to draw into");
    mjv_defaultCamera(&camera_);
    camera_.type = mjCAMERA_FREE;
    camera_.azimuth = 90.0;
    camera_.elevation = -12.0;
    camera_.distance = 4.0;
  }
  ~MujocoRenderer() override {
    mjv_freeScene(&scene_);
    mjr_freeContext(&drawing_);
  }
  MujocoRenderer(const MujocoRenderer&) = delete;
  MujocoRenderer& operator=(const MujocoRenderer&) = delete;

  std::string draw(std::span<const double> position, std::vector<std::uint8_t>& pixels) override {
    return caught([&] {
      std::ranges::copy(position, data_->qpos);
      mj_forward(model_.get(), data_.get());
      const mjtNum* torso = data_->xpos + 3;
      camera_.lookat[0] = torso[0];
      camera_.lookat[1] = torso[1];
      camera_.lookat[2] = 0.7;
      mjv_updateScene(model_.get(), data_.get(), &option_, nullptr, &camera_, mjCAT_ALL, &scene_);
      mjr_render(viewport_, &scene_, &drawing_);
      const std::size_t row = 3 * static_cast<std::size_t>(viewport_.width);
      const auto rows = static_cast<std::size_t>(viewport_.height);
      pixels.resize(row * rows);
      mjr_readPixels(pixels.data(), nullptr, viewport_, &drawing_);
      // OpenGL counts rows from below.
      for (std::size_t i = 0; i < rows / 2; ++i) {
        const auto upper = pixels.begin() + static_cast<std::ptrdiff_t>(i * row);
        const auto lower = pixels.begin() + static_cast<std::ptrdiff_t>((rows - 1 - i) * row);
        std::swap_ranges(upper, upper + static_cast<std::ptrdiff_t>(row), lower);
      }
    });
  }

 private:
  std::unique_ptr<Context> context_;  // first made, last gone
  ModelPointer model_;
  DataPointer data_;
  mjrRect viewport_{};
  mjvOption option_{};
  mjvScene scene_{};
  mjvCamera camera_{};
  mjrContext drawing_{};
};

}  // namespace

std::unique_ptr<Renderer> make_renderer(const mjModel& model, int width, int height, std::string& error) {
  auto context = Context::make(error);
  if (context == nullptr) return nullptr;
  std::unique_ptr<Renderer> renderer;
  error =
      caught([&] { renderer = std::make_unique<MujocoRenderer>(model, width, height, std::move(context)); });
  return renderer;
}

}  // namespace gradstab::lab::rl
