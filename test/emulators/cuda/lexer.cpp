// See text.h: tokens of PTX.
#include "text.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

namespace tenon::emulator {

void failText(uint32_t line, std::string message) { throw TextError{line, std::move(message)}; }

static bool startsWord(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}
static bool continuesWord(char c) { return startsWord(c) || std::isdigit(static_cast<unsigned char>(c)); }

void Lexer::skipSpace() {
  while (at < text.size()) {
    if (text[at] == '\n') {
      ++line, ++at;
    } else if (std::isspace(static_cast<unsigned char>(text[at]))) {
      ++at;
    } else if (text.substr(at, 2) == "//") {
      while (at < text.size() && text[at] != '\n')
        ++at;
    } else if (text.substr(at, 2) == "/*") {
      size_t end = text.find("*/", at + 2);
      if (end == std::string_view::npos)
        failText(line, "comment has no end");
      for (; at < end + 2; ++at)
        line += text[at] == '\n';
    } else {
      return;
    }
  }
}

void Lexer::number() {
  size_t begin = at;
  auto digits = [&](int base) {
    uint64_t value = 0;
    size_t from = at;
    for (; at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at])); ++at) {
      char c = text[at];
      int digit = std::isdigit(static_cast<unsigned char>(c)) ? c - '0' : std::tolower(c) - 'a' + 10;
      if (digit >= base)
        break;
      value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit);
    }
    if (at == from)
      failText(line, "number has no digits");
    return value;
  };
  token.kind = Token::Integer;
  char second = text[at] == '0' && at + 1 < text.size() ? text[at + 1] : 0;
  if (second == 'f' || second == 'F' || second == 'd' || second == 'D') {
    bool isDouble = second == 'd' || second == 'D';
    at += 2;
    token.kind = isDouble ? Token::Float64 : Token::Float32;
    token.value = digits(16);
    if (at - begin != (isDouble ? 18u : 10u))
      failText(line, "a float's bits need " + std::to_string(isDouble ? 16 : 8) + " digits");
    return;
  }
  if (second == 'x' || second == 'X') {
    at += 2;
    token.value = digits(16);
  } else if (second == 'b' || second == 'B') {
    at += 2;
    token.value = digits(2);
  } else {
    size_t end = at;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])))
      ++end;
    if (end < text.size() && (text[end] == '.' || text[end] == 'e' || text[end] == 'E')) {
      std::string copy(text.substr(at, 64));
      char *stop = nullptr;
      double value = std::strtod(copy.c_str(), &stop);
      at += static_cast<size_t>(stop - copy.c_str());
      token.kind = Token::Float64;
      std::memcpy(&token.value, &value, 8);
      return;
    }
    token.value = digits(text[at] == '0' && end - at > 1 ? 8 : 10);
  }
  if (at < text.size() && text[at] == 'U')
    ++at;
}

void Lexer::next() {
  skipSpace();
  token = {};
  token.line = line;
  if (at >= text.size())
    return;
  size_t begin = at;
  char c = text[at];
  if (std::isdigit(static_cast<unsigned char>(c))) {
    number();
  } else if (startsWord(c)) {
    token.kind = Token::Word;
    while (at < text.size()) {
      if (continuesWord(text[at]))
        ++at;
      else if (text.substr(at, 2) == "::")
        at += 2;
      else
        break;
    }
  } else if (c == '"') {
    token.kind = Token::String;
    for (++at; at < text.size() && text[at] != '"'; ++at)
      if (text[at] == '\n')
        failText(line, "string has no end");
    if (at++ >= text.size())
      failText(line, "string has no end");
  } else {
    token.kind = Token::Mark;
    token.mark = c;
    ++at;
  }
  token.text = text.substr(begin, at - begin);
}

Token Lexer::take() {
  Token taken = token;
  next();
  return taken;
}

bool Lexer::takeMark(char mark) {
  if (token.kind != Token::Mark || token.mark != mark)
    return false;
  next();
  return true;
}

bool Lexer::takeWord(std::string_view word) {
  if (token.kind != Token::Word || token.text != word)
    return false;
  next();
  return true;
}

void Lexer::expectMark(char mark) {
  if (!takeMark(mark))
    failText(token.line, std::string("'") + mark + "' is missing before '" + std::string(token.text) + "'");
}

std::string_view Lexer::expectWord(const char *what) {
  if (token.kind != Token::Word)
    failText(token.line, std::string(what) + " is missing before '" + std::string(token.text) + "'");
  return take().text;
}

uint64_t Lexer::expectInteger(const char *what) {
  if (token.kind != Token::Integer)
    failText(token.line, std::string(what) + " is missing before '" + std::string(token.text) + "'");
  return take().value;
}

} // namespace tenon::emulator
