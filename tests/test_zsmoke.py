import pytest
from tests.kapso import *
from contacts.models import *
from kapso_sync.models import WebhookDelivery
NAMES=sorted(p.stem for p in PAYLOADS.glob("*.json"))
@pytest.mark.parametrize("name", NAMES)
def test_smoke(name, cast, kapso):
    a = kapso.post_file(name)
    assert a.status==200, a.text
    d=a.delivery
    print(name, load(name)["expect"])
    print("   ->", d.status, d.error[-1500:], list(Message.objects.order_by('-id').values_list("contact__name","direction","message_type","content","status")[:3]), Contact.objects.count())
    assert d.status != "failed"
