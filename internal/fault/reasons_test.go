package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"clinsource/internal/fault"
)

// constants reads the reasons from the source, so that a new one cannot be
// forgotten here.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[spec.Names[0].Name] = value
		}
		return true
	})
	return found
}

func TestEveryReasonIsExplained(t *testing.T) {
	upperSnake := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	values := map[string]string{}
	for name, reason := range constants(t) {
		if other, twice := values[reason]; twice {
			t.Errorf("%s and %s are both %s", name, other, reason)
		}
		values[reason] = name
		if !upperSnake.MatchString(reason) {
			t.Errorf("%s is %q, not UPPER_SNAKE", name, reason)
		}
		if _, ok := fault.Reasons[reason]; !ok {
			t.Errorf("%s has no explanation in Reasons", name)
		}
	}
	if len(values) < 20 || len(values) != len(fault.Reasons) {
		t.Errorf("%d constants, %d explanations", len(values), len(fault.Reasons))
	}
}

func TestExplanationsAreWholeInBothLanguages(t *testing.T) {
	for reason, e := range fault.Reasons {
		for what, text := range map[string]string{"title": e.Title, "help": e.Help} {
			if text == "" || hasHan(text) {
				t.Errorf("%s: the English %s is %q", reason, what, text)
			}
		}
		for what, text := range map[string]string{"title": e.TitleZH, "help": e.HelpZH} {
			if !hasHan(text) {
				t.Errorf("%s: the Chinese %s is %q", reason, what, text)
			}
		}
	}
}

// TestTheArticlesWords holds the promises of DESIGN 5.
func TestTheArticlesWords(t *testing.T) {
	for reason, words := range map[string]string{
		fault.ReasonNoGrant: "权限不足，请联系管理员", fault.ReasonRoleForbids: "权限不足，请联系管理员",
		fault.ReasonFieldInvalid: "请求参数错误，请检查", fault.ReasonUnavailable: "服务暂时不可用", fault.ReasonTimeout: "请稍后重试",
	} {
		if !strings.Contains(fault.Reasons[reason].HelpZH, words) {
			t.Errorf("%s says %q without %q", reason, fault.Reasons[reason].HelpZH, words)
		}
	}
}

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}
