#include "source.h"

#include <torch/csrc/jit/frontend/lexer.h>
#include <torch/csrc/jit/frontend/parser.h>
#include <torch/csrc/jit/frontend/tree_views.h>

#include <cctype>
#include <iterator>
#include <vector>

namespace secateur {

using torch::jit::Node;
using torch::jit::TreeRef;

namespace {

bool is_list(int kind) { return kind == torch::jit::TK_LIST_LITERAL || kind == torch::jit::TK_TUPLE_LITERAL; }

bool is_number(const TreeRef& tree) {
  if (tree->kind() == torch::jit::TK_CONST) return true;
  return tree->kind() == torch::jit::TK_UNARY_MINUS && tree->trees().at(0)->kind() == torch::jit::TK_CONST;
}

// `annotate(List[int], [1, 2])` is what it annotates.
TreeRef without_annotation(const TreeRef& tree) {
  if (tree->kind() != torch::jit::TK_APPLY) return tree;
  const torch::jit::Apply apply(tree);
  const bool is_annotation = apply.callee().kind() == torch::jit::TK_VAR &&
      torch::jit::Var(apply.callee()).name().name() == "annotate" && apply.inputs().size() == 2;
  return is_annotation ? without_annotation(apply.inputs()[1].tree()) : tree;
}

using Span = std::pair<size_t, size_t>;

// Where each part of a bracketed list lies, without the blanks around it, and where the closing bracket is. The
// parser's own ranges leave out brackets that close an expression.
struct Parts {
  std::vector<Span> parts;
  size_t close;
};

std::optional<Parts> parts_of(const std::string& text, size_t open) {
  Parts found{{}, 0};
  size_t depth = 0;
  size_t start = open + 1;
  const auto is_blank = [&](size_t at) { return std::isspace(static_cast<unsigned char>(text[at])) != 0; };
  const auto end_part = [&](size_t end) {
    size_t first = start;
    size_t last = end;
    while (first < last && is_blank(first)) ++first;
    while (last > first && is_blank(last - 1)) --last;
    if (first < last) found.parts.emplace_back(first, last);
    start = end + 1;
  };
  for (size_t at = open; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"' || c == '\'') {
      for (++at; at < text.size() && text[at] != c; ++at) {
        if (text[at] == '\\') ++at;
      }
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      if (--depth == 0) {
        end_part(at);
        found.close = at;
        return found;
      }
    } else if (c == ',' && depth == 1) {
      end_part(at);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Expression> Sources::input(const Node* node, size_t input) {
  const torch::jit::SourceRange range = node->sourceRange();
  if (!range.source()) return std::nullopt;
  const Text& text = text_of(range.source());
  const Span key{range.start(), range.end()};
  const auto call = text.calls.find(key);
  if (call == text.calls.end()) return std::nullopt;
  const torch::jit::Apply apply(call->second);
  const size_t open = text.source.find('(', apply.callee().range().end());
  const std::optional<Parts> parts = open == std::string::npos ? std::nullopt : parts_of(text.source, open);
  if (!parts || parts->parts.size() != apply.inputs().size() + apply.attributes().size()) return std::nullopt;

  std::string name;
  size_t position = input;
  if (node->kind() == c10::prim::CallMethod || node->kind() == c10::prim::CallFunction) {
    // `self`, or the function.
    if (input == 0) return std::nullopt;
    position = input - 1;
    const c10::TypePtr type = node->input(0)->type();
    const c10::FunctionSchema& schema = node->kind() == c10::prim::CallMethod
        ? type->expectRef<c10::ClassType>().getMethod(node->s(c10::attr::name)).getSchema()
        : type->expectRef<c10::FunctionType>().function()->getSchema();
    const size_t index = node->kind() == c10::prim::CallMethod ? input : position;
    if (index < schema.arguments().size()) name = schema.arguments()[index].name();
  } else if (node->maybeSchema() != nullptr) {
    name = node->schema().arguments().at(input).name();
  }
  if (position < apply.inputs().size()) {
    return expression(apply.inputs()[position].tree(), parts->parts[position], text);
  }
  size_t part = apply.inputs().size();
  for (const torch::jit::Attribute& attribute : apply.attributes()) {
    const Span bytes = parts->parts[part++];
    if (attribute.name().name() != name) continue;
    const size_t value = text.source.find('=', bytes.first) + 1;
    return expression(attribute.value().tree(), {value, bytes.second}, text);
  }
  if (parts->parts.empty()) return std::nullopt;
  const size_t end = parts->parts.back().second;
  Expression missing = expression(call->second, {end, end}, text);
  missing.kind = Expression::Kind::Other;
  missing.is_missing = true;
  return missing;
}

std::optional<Expression> Sources::call(const Node* node) {
  std::optional<Expression> whole = callee(node);
  if (!whole) return std::nullopt;
  const std::string& source = text_of(node->sourceRange().source()).source;
  const size_t open = source.find('(', whole->end);
  const std::optional<Parts> parts = open == std::string::npos ? std::nullopt : parts_of(source, open);
  if (!parts) return std::nullopt;
  whole->end = parts->close + 1;
  return whole;
}

std::optional<Expression> Sources::callee(const Node* node) {
  const torch::jit::SourceRange range = node->sourceRange();
  if (!range.source()) return std::nullopt;
  const Text& text = text_of(range.source());
  const Span key{range.start(), range.end()};
  const auto call = text.calls.find(key);
  return call == text.calls.end() ? std::nullopt : std::optional(expression(call->second, key, text));
}

std::optional<Expression> Sources::element(const Node* node, const Expression& list, size_t index) {
  if (list.kind != Expression::Kind::List) return std::nullopt;
  return element_of(list.tree, index, text_of(node->sourceRange().source()));
}

std::optional<Expression> Sources::element_of(const TreeRef& list, size_t index, const Text& text) {
  const auto& elements = list->trees().at(0)->trees();
  const std::optional<Parts> parts = parts_of(text.source, list->range().start());
  if (!parts || index >= elements.size() || parts->parts.size() != elements.size()) return std::nullopt;
  return expression(elements[index], parts->parts[index], text);
}

Expression Sources::expression(const TreeRef& annotated, Span bytes, const Text& text) {
  TreeRef tree = without_annotation(annotated);
  if (tree->kind() == torch::jit::TK_VAR) {
    const auto function = text.assigned.upper_bound(bytes.first);
    const bool is_known = function != text.assigned.begin();
    const auto& variables = is_known ? std::prev(function)->second : std::map<std::string, TreeRef>{};
    const auto value = variables.find(torch::jit::Var(tree).name().name());
    if (value != variables.end() && value->second && is_list(value->second->kind())) tree = value->second;
  }
  const Expression::Kind kind = is_number(tree) ? Expression::Kind::Number
      : is_list(tree->kind())                   ? Expression::Kind::List
                                                : Expression::Kind::Other;
  return {kind, text.record, bytes.first, bytes.second, tree};
}

const Sources::Text& Sources::text_of(const std::shared_ptr<torch::jit::Source>& source) {
  const auto [entry, is_new] = texts_.try_emplace(source.get());
  Text& text = entry->second;
  if (!is_new) return text;
  text.record = source->filename().value_or("");
  text.source = source->text_str().str();
  torch::jit::Parser parser(source);
  torch::jit::Lexer& lexer = parser.lexer();
  while (lexer.cur().kind != torch::jit::TK_EOF) {
    switch (lexer.cur().kind) {
      case torch::jit::TK_CLASS_DEF: collect(parser.parseClass(), 0, text); break;
      case torch::jit::TK_DEF: collect(parser.parseFunction(/*is_method=*/false), 0, text); break;
      default: lexer.next();
    }
  }
  return text;
}

void Sources::collect(const TreeRef& tree, size_t function, Text& text) {
  if (tree->kind() == torch::jit::TK_DEF) function = tree->range().start();
  if (tree->kind() == torch::jit::TK_APPLY) {
    const torch::jit::SourceRange range = torch::jit::Apply(tree).callee().range();
    text.calls.emplace(Span(range.start(), range.end()), tree);
  } else if (tree->kind() == torch::jit::TK_ASSIGN) {
    const torch::jit::Assign assign(tree);
    for (const torch::jit::Expr& target : assign.lhs_list()) {
      if (target.kind() != torch::jit::TK_VAR) continue;
      const bool is_alone = assign.lhs_list().size() == 1 && assign.rhs().present();
      const TreeRef value = is_alone ? without_annotation(assign.rhs().get().tree()) : TreeRef();
      const auto [entry, is_first] = text.assigned[function].emplace(torch::jit::Var(target).name().name(), value);
      if (!is_first) entry->second = TreeRef();
    }
  }
  for (const TreeRef& part : tree->trees()) collect(part, function, text);
}

}  // namespace secateur
