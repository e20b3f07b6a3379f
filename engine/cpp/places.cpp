#include "places.h"

#include "nodes.h"
#include "secateur-engine/src/torch/bridge.rs.h"

namespace secateur {
namespace {

using torch::jit::Node;
using torch::jit::Value;

std::string argument_name(const Node* node, size_t input) {
  if (node->maybeSchema() != nullptr) return node->schema().arguments().at(input).name();
  if (node->kind() == c10::prim::CallFunction) {
    const auto& schema = node->input(0)->type()->expectRef<c10::FunctionType>().function()->getSchema();
    return schema.arguments().at(input - 1).name();
  }
  const auto& method = node->input(0)->type()->expectRef<c10::ClassType>().getMethod(node->s(c10::attr::name));
  return method.getSchema().arguments().at(input).name();
}

}  // namespace

ProgramPlace Places::unknown() { return {PlaceKind::Unknown, "", 0, 0, "", {}, ""}; }

ProgramPlace Places::of_input(const Node* node, size_t input, std::optional<size_t> element) {
  return locate(innermost(), node, input, element);
}

std::optional<ProgramPlace> Places::of_written(const Node* node, size_t input) {
  const std::optional<Expression> written = sources_.input(node, input);
  return written && !written->is_missing ? std::optional(literal(*written)) : std::nullopt;
}

std::optional<ProgramPlace> Places::of_call(const Node* node) {
  const std::optional<Expression> call = sources_.call(node);
  return call ? std::optional(literal(*call)) : std::nullopt;
}

std::optional<ProgramPlace> Places::of_callee(const Node* node) {
  const std::optional<Expression> callee = sources_.callee(node);
  return callee ? std::optional(literal(*callee)) : std::nullopt;
}

ProgramPlace Places::literal(const Expression& at) const { return place_of(innermost(), PlaceKind::Literal, at); }

// Where the program says what input `input` of a node is, or one element of it.
ProgramPlace Places::locate(size_t depth, const Node* node, size_t input, std::optional<size_t> element) {
  const Value* value = node->input(input);
  std::optional<Expression> written = sources_.input(node, input);
  if (!element) {
    if (written && written->kind != Expression::Kind::Other) return place_of(depth, PlaceKind::Literal, *written);
    if (written && written->is_missing) {
      ProgramPlace place = place_of(depth, PlaceKind::Omission, *written);
      place.name = argument_name(node, input);
      return place;
    }
    return locate_value(depth, value, std::nullopt, written);
  }
  const Node* list = value->node();
  const bool is_list = list->kind() == c10::prim::ListConstruct || list->kind() == c10::prim::TupleConstruct;
  if (!is_list) return locate_value(depth, value, element, std::nullopt);
  std::optional<Expression> part = written ? sources_.element(node, *written, *element) : std::nullopt;
  if (part && part->kind == Expression::Kind::Number) return place_of(depth, PlaceKind::Literal, *part);
  return locate_value(depth, list->input(*element), std::nullopt, part);
}

// Where a value comes from that is not written as a literal; `written` is what stands for it.
ProgramPlace Places::locate_value(
    size_t depth, const Value* value, std::optional<size_t> element, const std::optional<Expression>& written) {
  const Frame& frame = *frames_[depth];
  const Node* source = value->node();
  if (source == torch::jit::toGraphFunction(*frame.function).graph()->param_node()) {
    if (depth == 0) return unknown();
    const Node* call = frames_[depth - 1]->at;
    const size_t shift = call->kind() == c10::prim::CallFunction ? 1 : 0;
    return locate(depth - 1, call, value->offset() + shift, element);
  }
  if (source->kind() == c10::prim::GetAttr && !element) {
    if (const std::optional<std::string> path = path_of(source->input(0), frame)) {
      return {PlaceKind::Attribute, "", 0, 0, *path, {}, source->s(c10::attr::name)};
    }
  }
  if (!written || element) return unknown();
  const bool is_constant = source->kind() == c10::prim::Constant;
  return place_of(depth, is_constant ? PlaceKind::Literal : PlaceKind::Expression, *written);
}

// The path of an object; `self` may have been read for the last time.
std::optional<std::string> Places::path_of(const Value* object, const Frame& frame) const {
  if (frame.is_method && object->node()->kind() == c10::prim::Param && object->offset() == 0 &&
      object->node()->owningBlock()->owningNode() == nullptr) {
    return frame.module;
  }
  const auto value = frame.values.find(object);
  if (value == frame.values.end() || !value->second.isObject()) return std::nullopt;
  const auto path = tensors_.paths.find(value->second.toObject().get());
  return path == tensors_.paths.end() ? std::nullopt : std::optional(path->second);
}

// A place in the function or method of the frame at `depth`.
ProgramPlace Places::place_of(size_t depth, PlaceKind kind, const Expression& at) const {
  size_t method = depth;
  while (method > 0 && !frames_[method]->is_method) --method;
  rust::Vec<rust::String> calls;
  for (size_t index = method; index <= depth; ++index) {
    const torch::jit::Function& function = *frames_[index]->function;
    calls.push_back(index == method ? function.name() : function.qualname().qualifiedName());
  }
  return {kind, at.record, at.start, at.end, frames_[method]->module, std::move(calls), ""};
}

}  // namespace secateur
