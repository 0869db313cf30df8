package handler

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"clinsource/project-api/internal/logic"
	"clinsource/project-api/internal/problem"
)

// projectDetails answers with the project as a whole.
func projectDetails(c *call) error {
	return c.details(logic.Asked{Project: c.vars["project_id"]})
}

// subjectDetails answers with the same sections for one patient.
func subjectDetails(c *call) error {
	return c.details(logic.Asked{Project: c.vars["project_id"], Patient: c.vars["patient_id"]})
}

func (c *call) details(asked logic.Asked) error {
	if text := c.r.URL.Query().Get("require"); text != "" {
		asked.Require = strings.Split(text, ",")
	}
	asked.Chinese = problem.Chinese(c.r.Header.Get("Accept-Language"))
	details, err := logic.NewGetProjectDetailsLogic(c.r.Context(), c.svcCtx).GetProjectDetails(asked)
	var section *logic.SectionError
	if errors.As(err, &section) {
		c.state.about = section.Section
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(details)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, body)
}
