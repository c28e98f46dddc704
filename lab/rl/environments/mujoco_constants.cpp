// The inside of the module: a model's constants, by the names that MuJoCo gives them.
#include <array>
#include <cstddef>

#include "lab/rl/environments/mujoco_support.hpp"

namespace gradstab::lab::rl {
namespace {

using Json = nlohmann::ordered_json;

Json numbers(const mjtNum* first, int count) {
  return Json(std::vector<double>(first, first + count));
}

/// Row `index` of an array with `width` columns.
Json row(const mjtNum* first, int index, int width) {
  return numbers(first + static_cast<std::ptrdiff_t>(index) * width, width);
}

std::string integrator_name(int integrator) {
  switch (integrator) {
    case mjINT_EULER:
      return "Euler";
    case mjINT_RK4:
      return "RK4";
    case mjINT_IMPLICIT:
      return "implicit";
    default:
      return std::to_string(integrator);
  }
}

std::string solver_name(int solver) {
  switch (solver) {
    case mjSOL_PGS:
      return "PGS";
    case mjSOL_CG:
      return "CG";
    case mjSOL_NEWTON:
      return "Newton";
    default:
      return std::to_string(solver);
  }
}

std::string joint_name(int type) {
  switch (type) {
    case mjJNT_FREE:
      return "free";
    case mjJNT_BALL:
      return "ball";
    case mjJNT_SLIDE:
      return "slide";
    case mjJNT_HINGE:
      return "hinge";
    default:
      return std::to_string(type);
  }
}

std::string geom_name(int type) {
  switch (type) {
    case mjGEOM_PLANE:
      return "plane";
    case mjGEOM_SPHERE:
      return "sphere";
    case mjGEOM_CAPSULE:
      return "capsule";
    case mjGEOM_BOX:
      return "box";
    case mjGEOM_CYLINDER:
      return "cylinder";
    case mjGEOM_ELLIPSOID:
      return "ellipsoid";
    default:
      return std::to_string(type);
  }
}

Json options_of(const mjOption& option) {
  return {{"timestep", option.timestep},
          {"gravity", numbers(option.gravity, 3)},
          {"wind", numbers(option.wind, 3)},
          {"density", option.density},
          {"viscosity", option.viscosity},
          {"integrator", integrator_name(option.integrator)},
          {"solver", solver_name(option.solver)},
          {"cone", option.cone == mjCONE_PYRAMIDAL ? "pyramidal" : "elliptic"},
          {"iterations", option.iterations},
          {"tolerance", option.tolerance},
          {"impratio", option.impratio},
          {"noslip_iterations", option.noslip_iterations},
          {"disableflags", option.disableflags},
          {"enableflags", option.enableflags}};
}

Json bodies_of(const mjModel& m) {
  Json bodies = Json::array();
  for (int i = 0; i < m.nbody; ++i) {
    bodies.push_back({{"id", i},
                      {"name", m.names + m.name_bodyadr[i]},
                      {"parent", m.body_parentid[i]},
                      {"pos", row(m.body_pos, i, 3)},
                      {"quat", row(m.body_quat, i, 4)},
                      {"ipos", row(m.body_ipos, i, 3)},
                      {"iquat", row(m.body_iquat, i, 4)},
                      {"mass", m.body_mass[i]},
                      {"inertia", row(m.body_inertia, i, 3)},
                      {"subtreemass", m.body_subtreemass[i]},
                      {"invweight0", row(m.body_invweight0, i, 2)}});
  }
  return bodies;
}

Json joints_of(const mjModel& m) {
  Json joints = Json::array();
  for (int i = 0; i < m.njnt; ++i) {
    const int dof = m.jnt_dofadr[i];
    joints.push_back({{"id", i},
                      {"name", m.names + m.name_jntadr[i]},
                      {"type", joint_name(m.jnt_type[i])},
                      {"body", m.jnt_bodyid[i]},
                      {"qposadr", m.jnt_qposadr[i]},
                      {"dofadr", dof},
                      {"pos", row(m.jnt_pos, i, 3)},
                      {"axis", row(m.jnt_axis, i, 3)},
                      {"limited", static_cast<int>(m.jnt_limited[i])},
                      {"range", row(m.jnt_range, i, 2)},
                      {"margin", m.jnt_margin[i]},
                      {"stiffness", m.jnt_stiffness[i]},
                      {"armature", m.dof_armature[dof]},
                      {"damping", m.dof_damping[dof]},
                      {"frictionloss", m.dof_frictionloss[dof]},
                      {"dof_invweight0", m.dof_invweight0[dof]},
                      {"solref_limit", row(m.jnt_solref, i, mjNREF)},
                      {"solimp_limit", row(m.jnt_solimp, i, mjNIMP)}});
  }
  return joints;
}

Json geoms_of(const mjModel& m) {
  Json geoms = Json::array();
  for (int i = 0; i < m.ngeom; ++i) {
    geoms.push_back({{"id", i},
                     {"name", m.names + m.name_geomadr[i]},
                     {"body", m.geom_bodyid[i]},
                     {"type", geom_name(m.geom_type[i])},
                     {"size", row(m.geom_size, i, 3)},
                     {"pos", row(m.geom_pos, i, 3)},
                     {"quat", row(m.geom_quat, i, 4)},
                     {"contype", m.geom_contype[i]},
                     {"conaffinity", m.geom_conaffinity[i]},
                     {"condim", m.geom_condim[i]},
                     {"friction", row(m.geom_friction, i, 3)},
                     {"margin", m.geom_margin[i]},
                     {"gap", m.geom_gap[i]},
                     {"solmix", m.geom_solmix[i]},
                     {"solref", row(m.geom_solref, i, mjNREF)},
                     {"solimp", row(m.geom_solimp, i, mjNIMP)},
                     {"rbound", m.geom_rbound[i]}});
  }
  return geoms;
}

Json actuators_of(const mjModel& m) {
  Json actuators = Json::array();
  for (int i = 0; i < m.nu; ++i) {
    const int joint = m.actuator_trnid[2 * i];
    actuators.push_back({{"id", i},
                         {"joint", m.names + m.name_jntadr[joint]},
                         {"dofadr", m.jnt_dofadr[joint]},
                         {"gear", m.actuator_gear[6 * i]},
                         {"ctrllimited", static_cast<int>(m.actuator_ctrllimited[i])},
                         {"ctrlrange", row(m.actuator_ctrlrange, i, 2)},
                         {"forcelimited", static_cast<int>(m.actuator_forcelimited[i])}});
  }
  return actuators;
}

}  // namespace

Json constants_of(const mjModel& model) {
  return {{"nq", model.nq},
          {"nv", model.nv},
          {"nu", model.nu},
          {"na", model.na},
          {"nbody", model.nbody},
          {"njnt", model.njnt},
          {"ngeom", model.ngeom},
          {"option", options_of(model.opt)},
          {"total_mass", mj_getTotalmass(&model)},
          {"meaninertia", model.stat.meaninertia},
          {"qpos0", numbers(model.qpos0, model.nq)},
          {"qpos_spring", numbers(model.qpos_spring, model.nq)},
          {"bodies", bodies_of(model)},
          {"joints", joints_of(model)},
          {"geoms", geoms_of(model)},
          {"actuators", actuators_of(model)}};
}

}  // namespace gradstab::lab::rl
