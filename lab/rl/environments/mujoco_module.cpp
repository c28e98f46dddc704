// The inside of the module: models and simulations.
#include "lab/rl/environments/mujoco_module.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "lab/rl/environments/mujoco_support.hpp"

namespace gradstab::lab::rl {

std::string one_line(std::string text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!space)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

namespace {

/// The geoms that belong to the robot, and not to the world.
std::vector<int> robot_geoms(const mjModel& model) {
  std::vector<int> geoms;
  for (int geom = 0; geom < model.ngeom; ++geom) {
    const int type = model.geom_type[geom];
    if (model.geom_bodyid[geom] != 0 && (type == mjGEOM_CAPSULE || type == mjGEOM_SPHERE))
      geoms.push_back(geom);
  }
  return geoms;
}

std::vector<Shape> shapes_of(const mjModel& model, const std::vector<int>& geoms) {
  std::vector<Shape> shapes;
  for (const int geom : geoms) {
    const bool capsule = model.geom_type[geom] == mjGEOM_CAPSULE;
    const mjtNum* size = model.geom_size + 3 * geom;
    shapes.push_back({.kind = capsule ? ShapeKind::capsule : ShapeKind::sphere,
                      .body = model.names + model.name_bodyadr[model.geom_bodyid[geom]],
                      .radius = size[0],
                      .half_length = capsule ? size[1] : 0.0});
  }
  return shapes;
}

DataPointer make_data(const mjModel& model) {
  DataPointer data(mj_makeData(&model));
  if (data == nullptr) throw MujocoError("it could not allocate a simulation");
  return data;
}

class MujocoSimulation : public Simulation {
 public:
  MujocoSimulation(std::shared_ptr<const mjModel> model, const std::vector<int>& geoms)
      : model_(std::move(model)), geoms_(geoms), data_(make_data(*model_)), apart_(make_data(*model_)) {}

  std::span<double> position() noexcept override { return {data_->qpos, size(model_->nq)}; }
  std::span<double> velocity() noexcept override { return {data_->qvel, size(model_->nv)}; }
  std::span<double> solver_start() noexcept override { return {data_->qacc_warmstart, size(model_->nv)}; }
  std::span<const double> acceleration() const noexcept override { return {data_->qacc, size(model_->nv)}; }
  double& time() noexcept override { return data_->time; }

  void reset() noexcept override { mj_resetData(model_.get(), data_.get()); }

  std::string evaluate() override {
    const DefaultArithmetic arithmetic;
    std::fill_n(data_->ctrl, model_->nu, 0.0);
    const std::string error = caught([&] { mj_forward(model_.get(), data_.get()); });
    return error.empty() ? warning() : error;
  }

  std::string advance(std::span<const double> controls, int substeps) override {
    const DefaultArithmetic arithmetic;
    std::ranges::copy(controls, data_->ctrl);
    const std::string error = caught([&] {
      for (int i = 0; i < substeps; ++i) mj_step(model_.get(), data_.get());
    });
    return error.empty() ? warning() : error;
  }

  std::array<double, 3> body_position(int body) const noexcept override {
    const mjtNum* place = data_->xpos + 3 * static_cast<std::ptrdiff_t>(body);
    return {place[0], place[1], place[2]};
  }
  int contacts() const noexcept override { return data_->ncon; }

  void poses(std::span<ShapePose> poses) const override {
    const DefaultArithmetic arithmetic;
    std::copy_n(data_->qpos, model_->nq, apart_->qpos);
    mj_kinematics(model_.get(), apart_.get());
    for (std::size_t i = 0; i < geoms_.size(); ++i) {
      const auto geom = static_cast<std::ptrdiff_t>(geoms_[i]);
      const mjtNum* middle = apart_->geom_xpos + 3 * geom;
      const mjtNum* axes = apart_->geom_xmat + 9 * geom;
      const bool capsule = model_->geom_type[geom] == mjGEOM_CAPSULE;
      const double half = capsule ? model_->geom_size[3 * geom + 1] : 0.0;
      // A capsule lies along its third axis.
      for (std::size_t k = 0; k < 3; ++k) {
        poses[i].from[k] = middle[k] - half * axes[3 * k + 2];
        poses[i].to[k] = middle[k] + half * axes[3 * k + 2];
      }
    }
  }

 private:
  static std::size_t size(int count) noexcept { return static_cast<std::size_t>(count); }

  std::string warning() const {
    for (int kind = 0; kind < mjNWARNING; ++kind) {
      const mjWarningStat& stat = data_->warning[kind];
      if (stat.number > 0) return one_line(mju_warningText(kind, stat.lastinfo));
    }
    return {};
  }

  std::shared_ptr<const mjModel> model_;
  const std::vector<int>& geoms_;  // of the model, which outlives its simulations
  DataPointer data_;
  DataPointer apart_;  // for what must not touch the simulation
};

class MujocoModel : public PhysicsModel, public std::enable_shared_from_this<MujocoModel> {
 public:
  explicit MujocoModel(ModelPointer model)
      : model_(std::move(model)), geoms_(robot_geoms(*model_)), shapes_(shapes_of(*model_, geoms_)) {
    sizes_ = {
        .positions = model_->nq, .velocities = model_->nv, .controls = model_->nu, .bodies = model_->nbody};
  }

  const PhysicsSizes& sizes() const noexcept override { return sizes_; }
  double substep_seconds() const noexcept override { return model_->opt.timestep; }
  std::span<const double> masses() const noexcept override {
    return {model_->body_mass, static_cast<std::size_t>(model_->nbody)};
  }
  std::span<const Shape> shapes() const noexcept override { return shapes_; }
  nlohmann::ordered_json constants() const override { return constants_of(*model_); }
  std::unique_ptr<Simulation> simulation() const override {
    // Shares the ownership of this object, whose geoms it refers to.
    return std::make_unique<MujocoSimulation>(
        std::shared_ptr<const mjModel>(shared_from_this(), model_.get()), geoms_);
  }
  std::unique_ptr<Renderer> renderer(int width, int height, std::string& error) const override {
    return make_renderer(*model_, width, height, error);
  }

 private:
  ModelPointer model_;
  std::vector<int> geoms_;
  std::vector<Shape> shapes_;
  PhysicsSizes sizes_;
};

/// Files in memory, which MuJoCo reads as if they were on disk.
class MemoryFiles {
 public:
  explicit MemoryFiles(std::span<const ModelFile> files) : files_(std::make_unique<mjVFS>()) {
    mj_defaultVFS(files_.get());
    for (const ModelFile& file : files) {
      const std::string name(file.name);
      const int place = mj_makeEmptyFileVFS(files_.get(), name.c_str(), static_cast<int>(file.text.size()));
      if (place != 0) throw MujocoError("it takes no file '" + name + "'");
      const int index = mj_findFileVFS(files_.get(), name.c_str());
      std::memcpy(files_->filedata[index], file.text.data(), file.text.size());
    }
  }
  ~MemoryFiles() { mj_deleteVFS(files_.get()); }
  MemoryFiles(const MemoryFiles&) = delete;
  MemoryFiles& operator=(const MemoryFiles&) = delete;

  const mjVFS* get() const noexcept { return files_.get(); }

 private:
  std::unique_ptr<mjVFS> files_;
};

class Module : public MujocoModule {
 public:
  std::string version() const override { return mj_versionString(); }

  std::shared_ptr<const PhysicsModel> compile(std::span<const ModelFile> files,
                                              std::string& error) const override {
    // MuJoCo keeps the model that it compiled last for whoever wants to print it.
    static std::mutex one_at_a_time;
    const std::scoped_lock lock(one_at_a_time);
    const DefaultArithmetic arithmetic;
    ModelPointer model;
    error = caught([&] {
      const MemoryFiles memory(files);
      std::array<char, 1024> message{};
      model.reset(mj_loadXML(std::string(files.front().name).c_str(), memory.get(), message.data(),
                             static_cast<int>(message.size())));
      if (model == nullptr) throw MujocoError(message.data());
    });
    if (model == nullptr) return nullptr;
    return std::make_shared<const MujocoModel>(std::move(model));
  }
};

[[noreturn]] void throw_error(const char* message) {
  throw MujocoError(message);
}

// Warnings are counted beside the simulation, where they are looked at; MuJoCo's own way is a file in the
// current folder.
void forget_warning(const char*) {}

}  // namespace
}  // namespace gradstab::lab::rl

extern "C" __attribute__((visibility("default"))) const gradstab::lab::rl::MujocoModule*
gradstab_mujoco_module() {
  mju_user_error = gradstab::lab::rl::throw_error;
  mju_user_warning = gradstab::lab::rl::forget_warning;
  static const gradstab::lab::rl::Module module;
  return &module;
}
