package auth

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"clinsource/internal/config/nearest"
	"clinsource/internal/ident"
)

// ParsePolicy reads a policy and checks every word of it: Cedar itself takes any
// name, and a rule about a role that does not exist would never apply without a
// word. name stands for the file in errors, which name each line.
func ParsePolicy(name string, text []byte) (*Policy, error) {
	list, err := cedar.NewPolicyListFromBytes(name, text)
	if err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "parser error: parse error at <input>", name, 1))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: it permits nothing at all, to nobody; a file that is not whole?", name)
	}
	c := &policyCheck{file: name, text: text, named: map[string]bool{}}
	p := &Policy{lines: *cedar.NewPolicySet()}
	for i, line := range list {
		c.begin, c.end = line.Position().Offset, len(text)
		if i+1 < len(list) {
			c.end = list[i+1].Position().Offset
		}
		c.line((*ast.Policy)(line.AST()))
		p.lines.Add(cedar.PolicyID(fmt.Sprint(i)), line)
	}
	p.named = slices.Sorted(maps.Keys(c.named))
	return p, errors.Join(c.problems...)
}

// policyCheck holds the words of a policy against those that there are.
type policyCheck struct {
	file       string
	text       []byte
	begin, end int // Of the line under check.
	named      map[string]bool
	problems   []error
}

// The kinds of things that a condition compares.
const (
	isRole   = "Role"
	isAction = "Action"
	isKind   = "Kind"
	isText   = "a project or site"
	isBool   = "true or false"
	isSet    = "a list of "
	isWrong  = "" // Reported already.
)

// report names the file's line that holds the word.
func (c *policyCheck) report(word, format string, args ...any) {
	at := c.begin
	if i := bytes.Index(c.text[c.begin:c.end], []byte(word)); i >= 0 && word != "" {
		at += i
	}
	line := 1 + bytes.Count(c.text[:at], []byte("\n"))
	c.problems = append(c.problems, fmt.Errorf("%s:%d: %s", c.file, line, fmt.Sprintf(format, args...)))
}

func meant(written string, known []string) string {
	if near, ok := nearest.Of(written, known); ok {
		return "; did you mean " + near + "?"
	}
	return "; there is " + strings.Join(known, ", ")
}

func words[T ~string](list ...T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// vocabulary is every name that a policy may use, by type.
var vocabulary = map[string][]string{
	isRole:   append(words(Roles...), string(adminOfAll), string(Emergency)),
	isAction: words(Actions...),
	isKind:   append(words(Kinds...), slices.Sorted(maps.Keys(groupNames()))...),
}

func groupNames() map[string]bool {
	names := map[string]bool{}
	for g := range groups {
		names[string(g)] = true
	}
	return names
}

// entity checks Role::"monitor" and its like, and gives its type.
func (c *policyCheck) entity(uid types.EntityUID) string {
	kind, id := string(uid.Type), string(uid.ID)
	known, ok := vocabulary[kind]
	if !ok {
		c.report(kind+"::", "unknown type %s%s", kind, meant(kind, []string{isRole, isAction, isKind}))
		return isWrong
	}
	if !slices.Contains(known, id) {
		c.report(`"`+id+`"`, "unknown %s %q%s", strings.ToLower(kind), id, meant(id, known))
		return isWrong
	}
	return kind
}

func (c *policyCheck) line(p *ast.Policy) {
	c.scope(p.Principal, isRole, "principal")
	c.scope(p.Action, isAction, "action")
	c.scope(p.Resource, isKind, "resource")
	for _, condition := range p.Conditions {
		c.must(condition.Body, isBool)
	}
}

func (c *policyCheck) scope(n ast.IsScopeNode, want, variable string) {
	var named []types.EntityUID
	switch n := n.(type) {
	case ast.ScopeTypeAll:
	case ast.ScopeTypeEq:
		named = []types.EntityUID{n.Entity}
	case ast.ScopeTypeIn:
		named = []types.EntityUID{n.Entity}
	case ast.ScopeTypeInSet:
		named = n.Entities
	default:
		c.report(variable, `%s: "is" is not taken here: write %s == %s::"..." or in`, variable, variable, want)
	}
	for _, uid := range named {
		if got := c.entity(uid); got != isWrong && got != want {
			c.report(got+"::", "%s is a %s, not a %s", variable, want, got)
		}
	}
}

// must checks that an expression is of a type.
func (c *policyCheck) must(n ast.IsNode, want string) {
	if got := c.typeOf(n); got != isWrong && want != isWrong && got != want {
		c.report("", "%s stands where %s is needed", got, want)
	}
}

// typeOf checks an expression and gives its type. It takes what decides by roles,
// actions, kinds and whole names of projects and sites, and no more: a pattern or
// a number could not be worked out once for all sites, as SQL needs it.
func (c *policyCheck) typeOf(n ast.IsNode) string {
	switch n := n.(type) {
	case ast.NodeValue:
		return c.value(n.Value)
	case ast.NodeTypeVariable:
		return map[types.String]string{"principal": isRole, "action": isAction, "resource": isKind}[n.Name]
	case ast.NodeTypeAccess:
		return c.attribute(n)
	case ast.NodeTypeSet:
		return c.set(n.Elements)
	case ast.NodeTypeNot:
		c.must(n.Arg, isBool)
	case ast.NodeTypeAnd:
		c.both(n.BinaryNode, isBool)
	case ast.NodeTypeOr:
		c.both(n.BinaryNode, isBool)
	case ast.NodeTypeEquals:
		c.both(n.BinaryNode, c.typeOf(n.Left))
	case ast.NodeTypeNotEquals:
		c.both(n.BinaryNode, c.typeOf(n.Left))
	case ast.NodeTypeIn:
		c.in(n)
	case ast.NodeTypeContains:
		c.must(n.Left, isSet+c.typeOf(n.Right))
	default:
		c.report("", "this is not taken in a policy: compare by ==, !=, in and contains, join by &&, || and !")
		return isWrong
	}
	return isBool
}

func (c *policyCheck) both(n ast.BinaryNode, want string) {
	c.must(n.Left, want)
	c.must(n.Right, want)
}

func (c *policyCheck) in(n ast.NodeTypeIn) {
	left := c.typeOf(n.Left)
	right := strings.TrimPrefix(c.typeOf(n.Right), isSet)
	if left != isWrong && right != isWrong && (left != right || left == isText) {
		c.report("", `%s cannot be "in" %s; for projects and sites write ["a", "b"].contains(context.site)`, left, right)
	}
}

func (c *policyCheck) value(v types.Value) string {
	switch v := v.(type) {
	case types.Boolean:
		return isBool
	case types.EntityUID:
		return c.entity(v)
	case types.String:
		return c.place(string(v))
	case types.Set:
		var elements []ast.IsNode
		for e := range v.All() {
			elements = append(elements, ast.NodeValue{Value: e})
		}
		return c.set(elements)
	}
	c.report("", "%s is no role, kind, project or site", v)
	return isWrong
}

func (c *policyCheck) place(id string) string {
	if !ident.Valid(id) {
		c.report(`"`+id+`"`, "%q is no identifier of a project or site", id)
		return isWrong
	}
	c.named[id] = true
	return isText
}

func (c *policyCheck) set(elements []ast.IsNode) string {
	if len(elements) == 0 {
		c.report("[", "an empty list")
		return isWrong
	}
	first := c.typeOf(elements[0])
	for _, e := range elements[1:] {
		c.must(e, first)
	}
	return isSet + first
}

// attribute checks context.project and its like.
func (c *policyCheck) attribute(n ast.NodeTypeAccess) string {
	variable, ok := n.Arg.(ast.NodeTypeVariable)
	if !ok || variable.Name != "context" {
		c.report("."+string(n.Value), "unknown attribute .%s: only context has attributes, project and site", n.Value)
		return isWrong
	}
	if known := []string{"project", "site"}; !slices.Contains(known, string(n.Value)) {
		c.report("context."+string(n.Value), "unknown attribute context.%s%s", n.Value, meant(string(n.Value), known))
		return isWrong
	}
	return isText
}
