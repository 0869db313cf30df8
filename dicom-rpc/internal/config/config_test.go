package config_test

import (
	"path/filepath"
	"testing"

	dicomconfig "clinsource/dicom-rpc/internal/config"
	"clinsource/internal/config"
	"clinsource/internal/corpus"
)

func TestShippedConfig(t *testing.T) {
	t.Setenv("CLINSOURCE_DATA", "data")
	t.Chdir(corpus.Root(t))
	var c dicomconfig.Config
	if err := config.Load(filepath.Join("etc", "dicom-rpc.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	if c.ImageDir != "data/dicom-rpc/images" || c.DataFile != "data/dicom-rpc/images.db" || c.MaxUploads < 16 || c.SubjectRpc.Etcd.Key != "subject.rpc" {
		t.Errorf("%+v", c)
	}
}
